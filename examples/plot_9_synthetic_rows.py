"""
Synthetic rows of a mixed table
===============================

Census data have numbers, categories and missing values. `TabularVAE` takes them as they are, makes
new rows of the same kind, and draws rows that satisfy conditions.
"""

# %%
# A table as it is
# ----------------
# Adult has six columns of integers, among them capital gains, which are zero for nine people in
# ten, and nine of categories, three of which have missing values.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skvae import TabularVAE, datasets
from skvae.displays import LossCurveDisplay, SyntheticTableDisplay
from skvae.metrics import compare_tables

adult = datasets.fetch_adult().frame
train, test = train_test_split(adult, test_size=0.2, stratify=adult["income"], random_state=0)
vae = TabularVAE(early_stopping=True, random_state=0).fit(train)
synthetic = vae.sample(len(train), random_state=0)
print(synthetic.head().T.to_string())
print("same dtypes:", synthetic.dtypes.equals(train.dtypes))

# %%
# The bound on the log-density of rows that were held out tells when to stop.

LossCurveDisplay.from_estimator(vae)

# %%
# Real beside synthetic
# ---------------------
# The number by each name is the distance of the two distributions: the largest difference of
# distribution functions for numbers, the total variation for categories. Below is how strongly
# columns go together in either table.

SyntheticTableDisplay.from_tables(train, synthetic)

# %%
# What are the rows good for? Models that learn from them predict incomes of real, held-out people
# nearly as well as models that learn from the real rows. And they are no copies: they are as close
# to rows that the model has never seen as to those it learned from.

rng = np.random.RandomState(0)
columns_alone = train.apply(lambda column: column.sample(frac=1, random_state=rng).to_numpy())
columns_alone = columns_alone.astype(train.dtypes)
tables = {"real": train, "TabularVAE": synthetic, "shuffled columns": columns_alone}
comparison = compare_tables(tables, train, test, target="income", random_state=0)
print(comparison.round(3).T.to_string())

# %%
# Rows to order
# -------------
# Conditions are values, lists of values or intervals. Here, women with high incomes, who are few in
# the real table:

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
ax.set(xlabel="share", ylabel="")
ax.figure.tight_layout()

# %%
# Codes
# -----
# As for any other model, `transform` gives codes, and `reconstruct` what the decoder makes of them.
# Rows whose density is low are odd ones. The oddest of the held-out people:

scores = pd.Series(vae.score_samples(test), index=test.index)
print(f"mean bound {scores.mean():.1f} nats")
print(test.loc[scores.nsmallest(3).index].T.to_string())

# %%
# Which dimensions of the code say something? Those whose posterior is narrower than the prior. The
# two that say most hold schooling, whose levels are the stripes, and age with marriage:

mean, std = vae.encode(test)
first, second = np.argsort(std.mean(axis=0))[:2]
fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
points = axes[0].scatter(mean[:, first], mean[:, second], c=test["education-num"], s=3)
fig.colorbar(points, ax=axes[0], label="education-num")
for status in ("Never-married", "Married-civ-spouse", "Divorced"):
    chosen = test["marital-status"] == status
    axes[1].scatter(mean[chosen, first], mean[chosen, second], s=3, label=status)
axes[1].legend(markerscale=4)
plt.show()
