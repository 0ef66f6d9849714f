"""Contributions of features to outlier scores."""

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, RobustScaler, StandardScaler

from skvae import VAEOutlierDetector
from skvae.displays import ContributionsDisplay


def test_bars_show_the_features_with_the_largest_contributions(detector, table):
    display = ContributionsDisplay.from_estimator(detector, table[:2], max_features=3)
    features, code = detector.explain(table[:2])
    for row, panel in enumerate(display.axes_):
        values = np.append(features.iloc[row], code.iloc[row])
        expected = values[np.abs(values).argsort()[::-1][:3]]
        assert [bar.get_width() for bar in panel.patches] == expected.tolist()
        names = [label.get_text().partition(" = ")[0] for label in panel.get_yticklabels()]
        labels = [*table.columns, "code"]
        assert names == [labels[i] for i in np.abs(values).argsort()[::-1][:3]]
        top, bottom = panel.get_ylim()[::-1]
        assert top < bottom  # the first bar is at the top


def test_a_display_takes_the_frames_that_explain_returns(detector, table):
    rows = table[3:5]
    features, code = detector.explain(rows)
    decision = detector.decision_function(rows)
    display = ContributionsDisplay(X=rows, features=features, code=code, decision=decision).plot()
    expected = ContributionsDisplay.from_estimator(detector, rows, feature_names=range(13))
    for panel, expected_panel in zip(display.axes_, expected.axes_, strict=True):
        widths = [bar.get_width() for bar in panel.patches]
        assert widths == [bar.get_width() for bar in expected_panel.patches]


def test_labels_show_the_values_before_the_scaler_of_a_pipeline(table):
    params = {"hidden_layer_sizes": 8, "max_iter": 3, "random_state": 0}
    pipeline = make_pipeline(StandardScaler(), VAEOutlierDetector(2, **params)).fit(table)
    display = ContributionsDisplay.from_estimator(pipeline, table[:1], max_features=20)
    labels = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    scaler, detector = pipeline
    scaled = detector.reconstruct(scaler.transform(table[:1]))
    expected = scaler.inverse_transform(scaled)[0, table.columns.get_loc("alcohol")]
    assert f"alcohol = {table.alcohol[0]:.4g}, expected {expected:.4g}" in labels
    assert len(labels) == table.shape[1] + 1
    assert np.array_equal(display.decision, pipeline.decision_function(table[:1]))


def test_steps_without_inverse_leave_out_the_reconstructions(table):
    params = {"hidden_layer_sizes": 8, "max_iter": 3, "random_state": 0}
    pipeline = make_pipeline(FunctionTransformer(), Normalizer(), VAEOutlierDetector(2, **params))
    display = ContributionsDisplay.from_estimator(pipeline.fit(table), table[:1], max_features=20)
    labels = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert f"alcohol = {table.alcohol[0]:.4g}" in labels


def test_titles_name_the_rows(detector, table):
    display = ContributionsDisplay.from_estimator(detector, table[3:5])
    starts = [panel.get_title().partition(":")[0] for panel in display.axes_]
    assert starts == ["row 3", "row 4"]
    named = table[3:4].set_axis(["a"], axis="index")
    assert "row a: " in ContributionsDisplay.from_estimator(detector, named).axes_[0].get_title()
    X = table.to_numpy()
    detector = VAEOutlierDetector(2, hidden_layer_sizes=8, max_iter=1).fit(X)
    display = ContributionsDisplay.from_estimator(detector, X[3:4].tolist())
    assert "row 0: " in display.axes_[0].get_title()


def test_a_pipeline_that_changes_the_columns_is_an_error(table):
    pipeline = make_pipeline(PCA(3), VAEOutlierDetector(2, max_iter=1)).fit(table)
    with pytest.raises(ValueError, match="transform 13 columns into 3"):
        ContributionsDisplay.from_estimator(pipeline, table[:1])


def test_steps_that_reorder_the_columns_are_an_error(table):
    names = list(table.columns)
    for first, rest, changed in ((names[5:], names[:5], True), (names[:5], names[5:], False)):
        scaler = make_column_transformer((StandardScaler(), first), (RobustScaler(), rest))
        pipeline = make_pipeline(scaler, VAEOutlierDetector(2, max_iter=1)).fit(table)
        if changed:
            with pytest.raises(ValueError, match="transform the columns"):
                ContributionsDisplay.from_estimator(pipeline, table[:1])
        else:
            ContributionsDisplay.from_estimator(pipeline, table[:1])
    pipeline = make_pipeline(PCA(13), VAEOutlierDetector(2, max_iter=1)).fit(table.to_numpy())
    with pytest.raises(ValueError, match="into \\['pca0'"):
        ContributionsDisplay.from_estimator(pipeline, table[:1].to_numpy())


def test_more_than_6_rows_are_an_error(detector, table):
    with pytest.raises(ValueError, match="at most 6 rows to explain; got 7"):
        ContributionsDisplay.from_estimator(detector, table[:7])


def test_columns_of_arrays_keep_their_numbers_beside_condition_columns():
    X = np.random.RandomState(0).normal(size=(50, 4))
    detector = VAEOutlierDetector(1, condition_columns=[1], max_iter=2, random_state=0).fit(X)
    display = ContributionsDisplay.from_estimator(detector, X[:1])
    assert display.feature_names == ["x0", "x2", "x3"]


def test_values_have_as_many_digits_as_show_the_difference_to_the_expected_value():
    rows = {"features": np.zeros((1, 3)), "code": np.zeros(1), "decision": np.zeros(1)}
    X, expected = np.array([[1e6 + 1, 2.0, 5.0]]), np.array([[1e6 + 4, 3.5, 5.0]])
    display = ContributionsDisplay(X=X, X_reconstructed=expected, **rows)
    assert display._labels(0) == [
        "x0 = 1000001, expected 1000004",
        "x1 = 2, expected 3.5",
        "x2 = 5, expected 5",
    ]
