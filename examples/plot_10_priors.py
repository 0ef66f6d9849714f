"""
Learned priors
==============

Codes of images of digits form groups, and leave gaps between the groups. The normal prior does not
know the gaps: images decoded from a gap look like no digit. This example learns the distribution of
the codes by a mixture and by a normalising flow, and compares densities, samples and bounds on
MNIST.
"""

# %%
# The density of the codes
# ------------------------
# With ``training="separate"``, the prior learns the distribution of the codes, and has no influence
# on the networks. So all three models have the same codes, and differ in the prior only. The
# contours contain 50%, 90% and 99% of the probability of the prior.

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

from skvae import VAETransformer
from skvae.datasets import fetch_mnist
from skvae.displays import LatentSpaceDisplay, SampleDisplay
from skvae.priors import Flow, Mixture, Normal

mnist, test = fetch_mnist(), fetch_mnist(subset="test")
priors = {
    "Normal": Normal(),
    "Mixture": Mixture(20, training="separate"),
    "Flow": Flow(training="separate"),
}
models = {
    name: VAETransformer(
        2,
        prior=prior,
        architecture="fourier_mlp",
        likelihood="bernoulli",
        batch_size=500,
        max_iter=15,
        random_state=0,
    ).fit(mnist.data)
    for name, prior in priors.items()
}

figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
for ax, (name, vae) in zip(axes, models.items(), strict=True):
    # The display draws contours of learned priors only, unless we pass a density.
    density = {"log_density": lambda Z: norm.logpdf(Z).sum(axis=1)} if name == "Normal" else {}
    LatentSpaceDisplay.from_estimator(
        vae, test.data, test.target, ax=ax, max_points=3000, **density
    )
    ax.set_title(name)
    ax.get_legend().set_visible(name == "Flow")

# %%
# The bound on log p(x) counts the density of the codes. Higher is better.

for name, vae in models.items():
    print(f"{name}: {vae.score(test.data):.2f} nats per image")

# %%
# Samples
# -------
# Images from the normal prior on the left, and from the flow on the right. Codes from the flow
# avoid the gaps between the groups.

figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
for ax, name in zip(axes, ["Normal", "Flow"], strict=True):
    SampleDisplay.from_estimator(
        models[name], n_samples=100, image_shape=(28, 28), random_state=0, ax=ax
    )
    ax.set_title(name)

# %%
# Clusters
# --------
# The components of a mixture are clusters, which training finds without labels. The table shows the
# number of test images of each digit in each component, for the largest components.

probabilities = models["Mixture"].component_probabilities(test.data)
component = probabilities.argmax(axis=1)
largest = np.bincount(component).argsort()[::-1][:10]
print("component", *range(10), sep="\t")
for c in largest:
    print(c, *np.bincount(test.target[component == c], minlength=10), sep="\t")

plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_10_priors.png"
