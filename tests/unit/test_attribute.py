"""What can be explained, of which model, and what is refused."""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

import octodon
from octodon.attribution.attribute import attribute
from octodon.attribution.record import centred
from octodon.attribution.scalar import explain
from octodon.errors import BundleError, ConfigError, DataError
from octodon.models.combine import combine
from octodon.models.heads import Moments
from octodon.records import MemberPredictions
from octodon.seq.codes import N_CODE, random_codes
from octodon.seq.onehot import one_hot

CODES = random_codes((3, tiny.LENGTH), np.random.default_rng(5))


def saliency(**options: Any) -> octodon.Attribution:
    return attribute(tiny.ensemble(), CODES, **{"method": "saliency", "target": "gc"} | options)


def test_an_ensembles_map_is_the_average_of_its_members() -> None:
    whole = saliency()
    assert whole.member_maps is not None
    assert whole.std is not None
    assert whole.output == "activity of gc"
    np.testing.assert_array_equal(whole.maps, whole.member_maps.mean(0))
    for number in range(3):
        one = saliency(member=number)
        assert one.member_maps is None
        np.testing.assert_allclose(one.maps, whole.member_maps[number], atol=1e-7)
    np.testing.assert_allclose(whole.std, whole.member_maps.std(0), atol=1e-7)


def test_the_map_of_the_spread_is_the_derivative_of_the_spread() -> None:
    networks = [tiny.ensemble().network(i).double() for i in range(3)]
    found = saliency(output="epistemic_std")
    x = one_hot(torch.from_numpy(CODES), torch.float64)

    def spread(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.stack([network.read(x).mean[:, 0] for network in networks]).std(0, correction=0)

    step = torch.zeros_like(x)
    step[:, 2, 7] = 1e-5
    expected = (spread(x + step) - spread(x - step)) / 2e-5
    np.testing.assert_allclose(found.maps[:, 2, 7], expected.numpy(), atol=1e-4)


def test_moments_combine_as_predictions_do() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(4, 5, 2)), rng.random((4, 5, 2))
    theirs = MemberPredictions(
        ids=np.arange(5).astype(str), target_names=("a", "b"), mean=mean, aleatoric_std=std
    ).combine()
    ours = combine(
        [Moments(mean=torch.tensor(m), aleatoric_std=torch.tensor(s)) for m, s in zip(mean, std, strict=True)]
    )
    assert ours.epistemic_std is not None
    assert ours.aleatoric_std is not None
    np.testing.assert_allclose(ours.mean, theirs.mean)
    np.testing.assert_allclose(ours.epistemic_std, theirs.epistemic_std)
    np.testing.assert_allclose(ours.aleatoric_std, theirs.aleatoric_std)


def test_a_difference_of_targets_has_the_difference_of_maps() -> None:
    a, b, difference = (saliency(target=t).maps for t in ("gc", "tata", ("gc", "tata")))
    np.testing.assert_allclose(difference, a - b, atol=1e-6)


def test_a_function_of_the_moments_can_be_explained() -> None:
    ours = saliency(output=lambda moments: 2 * moments.mean[:, 1], target=None, member="each")
    np.testing.assert_allclose(ours.maps, 2 * saliency(target="tata").maps, atol=1e-6)


def test_rows_are_independent() -> None:
    whole = saliency(method="integrated_gradients", background=3)
    alone = attribute(tiny.ensemble(), CODES[[1]], method="integrated_gradients", target="gc", background=3)
    np.testing.assert_allclose(alone.maps[0], whole.maps[1], atol=1e-6)


def test_observed_effects_and_centred_maps() -> None:
    found = saliency(method="ism")
    row, position = 1, 4
    base = CODES[row, position]
    assert found.observed[row, position] == found.maps[row, base, position]
    assert found.effects[row, base, position] == 0
    np.testing.assert_allclose(found.maps.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(centred(found.maps + 3), found.maps, atol=1e-5)


def test_effects_are_those_of_the_mutations_and_unknown_at_an_n() -> None:
    codes = CODES[:1].copy()
    codes[0, 3] = N_CODE
    model = tiny.ensemble()
    found = attribute(model, codes, method="ism", target="gc")
    mutants = np.repeat(codes, 4, axis=0)
    mutants[:, 7] = range(4)
    said, own = (model.predict(some, device="cpu").mean[:, 0] for some in (mutants, codes))
    np.testing.assert_allclose(found.effects[0, :, 7], said - own, atol=1e-6)
    assert np.isnan(found.effects[0, :, 3]).all()
    assert np.isfinite(np.delete(found.effects, 3, axis=2)).all()
    assert found.effects.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "salience"}, ConfigError, "did you mean 'saliency'"),
        ({"output": "activty"}, ConfigError, "did you mean 'activity'"),
        ({"output": "aleatoric_std"}, ConfigError, "this model gives none"),
        ({"output": "epistemic_std", "member": 0}, ConfigError, "this model gives none"),
        ({"target": None}, ConfigError, "2 targets"),
        ({"target": "gx"}, ConfigError, "did you mean 'gc'"),
        ({"target": 2}, ConfigError, "expected 0 to 1"),
        ({"member": 3}, ConfigError, "members 0 to 2"),
        ({"member": "all"}, ConfigError, "expected a number or 'each'"),
        ({"options": {"steps": 3}}, ConfigError, "options of saliency"),
        ({"method": "gradient_shap", "background": 0}, DataError, "at least 1"),
        ({"method": "gradient_shap", "background": ["ACGT"]}, DataError, "give equal lengths"),
        ({"ids": ["a"]}, DataError, "1 for 3"),
        ({"output": lambda moments: moments.mean, "target": None}, ConfigError, "one number per sequence"),
    ],
)
def test_what_is_not_there_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        saliency(**options)


def test_sequences_of_another_length_are_refused() -> None:
    with pytest.raises(BundleError, match="trained on 32 bp"):
        attribute(tiny.ensemble(), ["ACGT"], method="saliency", target="gc")


def test_a_single_network_has_no_members() -> None:
    with pytest.raises(ConfigError, match="no members"):
        explain(nn.Linear(1, 1), member=0)
