import torch

from disbench.baselines.optim import adam


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (4,), ())]


def test_the_steps_are_those_of_torchs_adam() -> None:
    ours, torchs = parameters(), parameters()
    optimizers = adam(ours, 0.1, (0.5, 0.9)), torch.optim.Adam(torchs, 0.1, (0.5, 0.9))
    for step in range(3):
        for values, optimizer in zip((ours, torchs), optimizers, strict=True):
            sum(((value - step) ** 2).sum() for value in values).backward()
            optimizer.step()
            optimizer.zero_grad()
    for one, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one, other)
    assert optimizers[0].state_dict()["param_groups"][0]["fused"]


def test_where_torch_has_no_fused_step_there_is_another() -> None:
    value = torch.nn.Parameter(torch.zeros(3, device="meta"))
    optimizer = adam([value], 0.1)
    value.sum().backward()
    optimizer.step()
    assert not optimizer.param_groups[0]["fused"]
