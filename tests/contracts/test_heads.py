"""What every head promises. A new file in the registry's folder is tested here without an edit."""

import pytest
import torch

from octodon.errors import DataError
from octodon.models.heads import Head, Labels, heads

every_head = pytest.mark.parametrize("name", list(heads))

N, T, R = 12, 2, 3


def _labels(
    head: type[Head] | Head, dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Return labels of very different scale per column, all that end in _std above zero."""
    generator = torch.Generator().manual_seed(seed)
    scale, labels = torch.tensor([1.0, 30.0], dtype=torch.float64), {}
    for name in head.needs:
        draw = torch.randn(N, T, generator=generator, dtype=torch.float64)
        labels[name] = 0.1 * (0.4 * draw).exp() * scale if name.endswith("_std") else 2 + draw * scale
    if "replicates" in labels:
        noise = 0.1 * torch.randn(N, T, R, generator=generator, dtype=torch.float64)
        noise = (noise - noise.mean(2, keepdim=True)) * scale.unsqueeze(1)
        labels["replicates"] = labels["activity"].unsqueeze(2) + noise
    if "measurements" in labels:
        # symmetric around the activity, which is then where every likelihood of them is largest
        spread = 0.1 * torch.rand(N, T, generator=generator, dtype=torch.float64) * scale + 0.02 * scale
        steps = torch.arange(R, dtype=torch.float64) - (R - 1) / 2
        labels["measurements"] = labels["activity"].unsqueeze(2) + spread.unsqueeze(2) * steps
    if "replicate_se" in labels:
        labels["replicate_se"] = (0.005 * scale).reshape(1, T, 1).expand(N, T, R).clone()
    return {name: label.to(dtype) for name, label in labels.items()}


def _terms(head: type[Head] | Head) -> list[str]:
    """Return the labels that have a term of their own in the loss."""
    return [name for name in head.needs if name not in head.auxiliary]


def _head(name: str, n_features: int = 6, labels: Labels | None = None) -> Head:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = heads[name](n_features, T)
    head.fit_scale(_labels(head) if labels is None else labels)
    return head


def _raw(head: Head, seed: int = 1) -> torch.Tensor:
    return torch.randn(N, head.n_raw, T, generator=torch.Generator().manual_seed(seed))


@every_head
def test_shapes(name: str) -> None:
    head = _head(name)
    raw = head(torch.randn(N, 6, generator=torch.Generator().manual_seed(2)))
    assert raw.shape == (N, head.n_raw, T)
    assert head.loss(raw, _labels(head)).shape == (N, T)
    moments = head.read(raw)
    assert moments.mean.shape == (N, T)
    for moment in ("epistemic_std", "aleatoric_std"):
        std = getattr(moments, moment)
        assert (std is None) == (moment not in head.gives)
        assert std is None or std.shape == (N, T)


@every_head
def test_column_block_r_holds_one_quantity_of_all_targets(name: str) -> None:
    # The published order: [Dev mean, Hk mean, Dev std, Hk std].
    head = _head(name)
    features = torch.randn(N, 6, generator=torch.Generator().manual_seed(2))
    columns = features @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(features)[:, :, 1], columns[:, 1::T])


@every_head
@pytest.mark.parametrize("shape", [(N,), (N, 1), (1, T), (T, N), (N, 1, R), (1, T, R)])
def test_labels_whose_shape_would_broadcast_are_refused(name: str, shape: tuple[int, ...]) -> None:
    head = _head(name)
    for wrong in _terms(head):
        labels = _labels(head) | {wrong: torch.ones(shape)}
        with pytest.raises(DataError, match=r"must have equal shapes"):
            head.loss(_raw(head), labels)


@every_head
def test_missing_labels_give_no_loss_and_no_gradient(name: str) -> None:
    head, raw = _head(name), _raw(_head(name)).requires_grad_()
    missing = torch.zeros(N, T, dtype=torch.bool)
    missing[3, 1] = missing[5] = True
    complete = _labels(head)
    with_holes = {
        key: value.masked_fill(missing.unsqueeze(2) if value.dim() == 3 else missing, float("nan"))
        for key, value in complete.items()
    }
    loss = head.loss(raw, with_holes)
    loss.sum().backward()
    assert raw.grad is not None
    assert not loss[missing].any()
    assert not raw.grad.transpose(1, 2)[missing].any()
    # Where the label is present, a hole elsewhere changes nothing.
    torch.testing.assert_close(loss[~missing], head.loss(raw, complete)[~missing])
    assert raw.grad.transpose(1, 2)[~missing].any()


@every_head
def test_one_missing_quantity_leaves_the_others_to_learn_from(name: str) -> None:
    head = _head(name)
    for hidden in _terms(head):
        labels = _labels(head)
        labels[hidden] = torch.full_like(labels[hidden], float("nan"))
        loss = head.loss(_raw(head), labels)
        assert torch.isfinite(loss).all()
        assert bool(loss.any()) == (len(_terms(head)) > 1)


@every_head
def test_the_scale_ignores_missing_labels(name: str) -> None:
    complete = _labels(heads[name])
    rows = {key: value[2:] for key, value in complete.items()}
    holes = {key: value.clone() for key, value in complete.items()}
    for value in holes.values():
        value[:2] = float("nan")
    raw = _raw(_head(name))
    expected, got = (_head(name, labels=labels).read(raw) for labels in (rows, holes))
    for moment in ("mean", *heads[name].gives):
        torch.testing.assert_close(getattr(got, moment), getattr(expected, moment))


@every_head
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_columns_stay_finite(name: str, size: float) -> None:
    head = _head(name)
    raw = torch.full((N, head.n_raw, T), size, requires_grad=True)
    loss = head.loss(raw, _labels(head))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    moments = head.read(raw)
    for value in (moments.mean, moments.epistemic_std, moments.aleatoric_std):
        assert value is None or torch.isfinite(value).all()


@every_head
def test_stds_are_never_negative(name: str) -> None:
    head = _head(name)
    for size in (1.0, 10.0, 1e4):
        moments = head.read(size * _raw(head))
        for std in (moments.epistemic_std, moments.aleatoric_std):
            assert std is None or (std >= 0).all()


@every_head
def test_identical_members_give_a_finite_loss(name: str) -> None:
    # Members that agree exactly have std 0, whose log is -inf.
    labels = {
        key: torch.zeros_like(value) if key.endswith("_std") else value
        for key, value in _labels(heads[name]).items()
    }
    for key in {"replicates", "measurements"} & labels.keys():
        labels[key] = labels["activity"].unsqueeze(2).repeat(1, 1, R)
    head = _head(name, labels=labels)
    raw = _raw(head).requires_grad_()
    loss = head.loss(raw, labels)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


@every_head
def test_gradient_equals_finite_differences(name: str) -> None:
    head = _head(name).double()
    labels = _labels(head, torch.float64)
    raw = _raw(head).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda r: head.loss(r, labels), (raw,))


@every_head
def test_fitting_a_free_column_to_labels_reads_the_labels_back(name: str) -> None:
    head = _head(name).double()
    labels = _labels(head, torch.float64)
    raw = torch.zeros(N, head.n_raw, T, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([raw], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = head.loss(raw, labels).sum()
        loss.backward()
        return loss

    optimiser.step(step)
    moments = head.read(raw.detach())
    scale = torch.tensor([1.0, 30.0], dtype=torch.float64)
    torch.testing.assert_close(moments.mean / scale, labels["activity"] / scale, rtol=1e-3, atol=2e-3)
    for quantity in set(head.gives) - set(head.unidentified):
        # the one label of this quantity, if it is not read from the replicates
        own = [
            label
            for label in head.needs
            if label.endswith("_std") and ("epi" in label) == ("epi" in quantity)
        ]
        read = getattr(moments, quantity)
        if own:
            torch.testing.assert_close(read, labels[own[0]], rtol=1e-2, atol=1e-3)
        else:
            # divided by r - 1 where the mean is not learnt from the same term, by r where it is
            measured = labels["replicates" if "replicates" in labels else "measurements"]
            spread = [measured.std(2, correction=correction) for correction in (0, 1)]
            assert (read > 0.99 * spread[0]).all()
            assert (read < 1.01 * spread[1]).all()


@every_head
def test_every_quantity_reaches_its_own_column(name: str) -> None:
    # An uncertainty label that moves must move a gradient, or its column would stay at its initialisation.
    head, raw = _head(name), _raw(_head(name)).requires_grad_()
    seen = torch.zeros(head.n_raw, dtype=torch.bool)
    for moved in _terms(head):
        labels = _labels(head)
        (before,) = torch.autograd.grad(head.loss(raw, labels).sum(), raw)
        labels[moved] = labels[moved] * 1.5
        (after,) = torch.autograd.grad(head.loss(raw, labels).sum(), raw)
        changed = (before != after).any(0).any(-1)
        assert changed.any(), moved
        seen |= changed
    assert seen.all()


@every_head
def test_a_missing_replicate_counts_for_nothing(name: str) -> None:
    complete = _labels(heads[name])
    cut = {key: value[:, :, :2] if value.dim() == 3 else value for key, value in complete.items()}
    holes = {key: value.clone() for key, value in complete.items()}
    for value in holes.values():
        if value.dim() == 3:
            value[:, :, 2] = float("nan")
    with_cut, with_holes = _head(name, labels=cut), _head(name, labels=holes)
    raw = _raw(with_cut)
    torch.testing.assert_close(with_holes.loss(raw, holes), with_cut.loss(raw, cut))
    for moment in ("mean", *heads[name].gives):
        expected = getattr(with_cut.read(raw), moment)
        torch.testing.assert_close(getattr(with_holes.read(raw), moment), expected)
