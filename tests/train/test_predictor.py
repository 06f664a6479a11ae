"""Probabilities are what the model's scores mean, whatever it ends in."""

import numpy as np
import pytest

from pycnn import nn, train

SCORES = np.log(np.float32([[0.2, 0.5, 0.3]]))


def predictor(*last, dtype="float32"):
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(3, 3, bias=False), *last))
    model.at("1.0").params["weight"] = np.eye(3, dtype=np.float32)
    return train.Predictor(model.to(dtype), None, ["a", "b", "c"])


@pytest.mark.parametrize(
    "last", [(), (nn.Softmax(),), (nn.LogSoftmax(),), (nn.Identity(),), (nn.Dropout(0.5),)]
)
def test_probabilities_are_taken_once(last):
    found = predictor(*last).probabilities(SCORES)
    np.testing.assert_allclose(found, [[0.2, 0.5, 0.3]], rtol=1e-6)


def test_a_sigmoid_gives_a_probability_a_class():
    expected = 1 / (1 + np.exp(-SCORES.astype(np.float64)))
    model = predictor(nn.Sigmoid())
    np.testing.assert_allclose(model.probabilities(SCORES), expected, rtol=1e-6)
    nn.fuse(model.model.eval())
    np.testing.assert_allclose(model.probabilities(SCORES), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_model_of_another_dtype_takes_the_same_image(dtype):
    found = predictor(dtype=dtype).probabilities(SCORES)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(np.float64), [[0.2, 0.5, 0.3]], rtol=1e-2)


def test_what_gives_no_scores_of_classes_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 2, 1))
    with pytest.raises(ValueError, match=r"makes \(2, 4, 4\) of an image; allowed: scores of"):
        train.Predictor(model, None, ["a", "b"]).probabilities(np.zeros((1, 1, 4, 4), np.float32))
