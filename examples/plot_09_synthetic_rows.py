"""
Synthetic rows of a mixed table
===============================

The Adult census data contain numbers, categories and missing values. `TabularVAE` is fitted to the
data frame without preprocessing, generates new rows with the same columns, and samples rows that
satisfy conditions.
"""

# %%
# Fit and sample
# --------------
# Adult has six integer columns and nine categorical columns. Three categorical columns have missing
# values. The capital gain is zero for nine out of ten people.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skvae import TabularVAE, datasets
from skvae.displays import LatentSpaceDisplay, LossCurveDisplay, SyntheticTableDisplay
from skvae.metrics import compare_tables

plt.style.use("tableau-colorblind10")
adult = datasets.fetch_adult().frame
train, test = train_test_split(adult, test_size=0.2, stratify=adult["income"], random_state=0)
vae = TabularVAE(early_stopping=True, random_state=0).fit(train)
synthetic = vae.sample(len(train), random_state=0)
print(synthetic.head().T.to_string())
print("same dtypes:", synthetic.dtypes.equals(train.dtypes))

# %%
# Training stops when the bound on the log-density of held-out rows no longer improves.

LossCurveDisplay.from_estimator(vae)

# %%
# Comparison of real and synthetic rows
# -------------------------------------
# The number next to each column name is the distance between the two distributions: the
# Kolmogorov-Smirnov statistic for numbers, and the total variation for categories. The matrices
# below show the associations between the columns in both tables.

SyntheticTableDisplay.from_tables(train, synthetic)

# %%
# Classifiers fitted to the synthetic rows predict the income of real, held-out people almost as
# well as classifiers fitted to the real rows. The synthetic rows are not copies: the distances to
# held-out rows and to training rows are similar.

rng = np.random.RandomState(0)
columns_alone = train.apply(lambda column: column.sample(frac=1, random_state=rng).to_numpy())
columns_alone = columns_alone.astype(train.dtypes)
tables = {"real": train, "TabularVAE": synthetic, "shuffled columns": columns_alone}
comparison = compare_tables(tables, train, test, target="income", random_state=0)
print(comparison.round(3).T.to_string())

# %%
# Conditional sampling
# --------------------
# A condition is a value, a list of values or an interval. We sample women between 25 and 45 with
# high incomes, a small group in the real table.

conditions = {"sex": "Female", "income": ">50K", "age": pd.Interval(25, 45)}
drawn = vae.sample(1000, conditions=conditions, random_state=0)
real = adult.query("sex == 'Female' and income == '>50K' and 25 < age <= 45")
occupations = pd.DataFrame(
    {
        f"real, {len(real)} rows": real["occupation"].value_counts(normalize=True),
        "synthetic": drawn["occupation"].value_counts(normalize=True),
    }
)
ax = occupations.sort_values("synthetic").plot.barh(figsize=(7, 4))
ax.set(xlabel="fraction of the rows", ylabel="")
ax.legend(loc="lower right")
ax.figure.tight_layout()

# %%
# Scores and codes
# ----------------
# `score_samples` returns a bound on the log-density of each row. Rows with a low score are unusual.
# These are the three most unusual rows among the held-out people.

scores = pd.Series(vae.score_samples(test), index=test.index)
print(f"mean bound {scores.mean():.1f} nats")
print(test.loc[scores.nsmallest(3).index].T.to_string())

# %%
# `encode` returns the mean and the standard deviation of the posterior. A latent dimension is
# informative if the posterior is narrower than the prior. The two most informative dimensions
# represent the level of education (the levels form stripes), and age together with marital status.

mean, std = vae.encode(test)
codes = mean[:, np.argsort(std.mean(axis=0))[:2]]
statuses = test["marital-status"].astype(str)
frequent = statuses.isin(["Never-married", "Married-civ-spouse", "Divorced"])
figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
options = {"scatter_kwargs": {"s": 4}}
LatentSpaceDisplay.from_codes(codes, test["education-num"], ax=axes[0], **options)
LatentSpaceDisplay.from_codes(codes[frequent], statuses[frequent], ax=axes[1], **options)
for ax, title in zip(axes, ["level of education", "marital status"], strict=True):
    ax.set(title=title, xlabel="most informative dimension", ylabel="second dimension")
plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_09_synthetic_rows.png"
