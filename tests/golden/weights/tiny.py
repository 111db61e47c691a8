"""Writes the small checkpoints that the .pt reader's tests read: tiny.pt, refused.pt, legacy.pt.

Needs only torch (written with 1.13.1, Debian package python3-torch 1.13.1+dfsg-4):
    python3 tests/golden/weights/tiny.py
"""

import collections
import pathlib

import torch

HERE = pathlib.Path(__file__).parent


class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.norm = torch.nn.LayerNorm(3)
        self.register_buffer("count", torch.tensor(7))


module = Module()
with torch.no_grad():
    module.linear.weight.copy_(torch.arange(6).reshape(2, 3) / 2)
    module.linear.bias.copy_(torch.tensor([-1.0, 1.0]))
base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)

checkpoint = {
    # As a training checkpoint nests its averaged parameters, with plain values beside them.
    "ema": {"params": module.state_dict(), "decay": 0.999, "big": 2**80, "neg": -5, "none": None, "flag": True},
    # Views that share one storage: permuted, cut, expanded, empty.
    "views": [base.permute(2, 0, 1), base[1, :, 1:3], base[0, 0, 0].expand(2, 3), base[:0]],
    "types": collections.OrderedDict(
        bf16=torch.tensor([1.0, -2.5]).bfloat16(),
        half=torch.tensor([0.5]).half(),
        f64=torch.tensor([[0.1]], dtype=torch.float64),
        i32=torch.tensor([-3]).int(),
        i16=torch.tensor([-4]).short(),
        i8=torch.tensor([-5]).char(),
        u8=torch.tensor([250]).byte(),
        flag=torch.tensor([True, False]),
    ),
    "param": torch.nn.Parameter(torch.ones(5)),
    300: torch.zeros(1),
    "tuple": (torch.ones(2), "x", 1.5),
}
torch.save(checkpoint, HERE / "tiny.pt")
torch.save({"a": torch.ones(1), "shape": torch.Size([3])}, HERE / "refused.pt")
torch.save({"a": torch.ones(1)}, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
