"""Makes state.bin, quantised.gguf and expected.json: run with torch 2.13.0, gguf 0.17.1, numpy; seed 3."""
import json, pathlib
import numpy as np, torch, gguf

here = pathlib.Path(__file__).parent
torch.manual_seed(3)
embed = torch.randn(5, 4)
state = {
    "embed.weight": embed,
    "head.weight": embed,
    "transposed": torch.randn(3, 6).t(),
    "part": torch.randn(40)[10:22:2],
    "half": torch.randn(7).half(),
    "brain": torch.randn(2, 3).bfloat16(),
    "double": torch.randn(3, dtype=torch.float64),
    "parameter": torch.nn.Parameter(torch.randn(2)),
    "ids": torch.arange(5),
    "mask": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
}
torch.save(state, here / "state.bin")
torch.save(state, here / "legacy.pt", _use_new_zipfile_serialization=False)
expected = {"torch": {k: {"shape": list(v.shape), "values": v.detach().double().flatten().tolist()} for k, v in state.items()}}

rng = np.random.default_rng(3)
writer = gguf.GGUFWriter(here / "quantised.gguf", "llama")
writer.add_array("words", ["one", "two"])
writer.add_uint32("number", 7)
expected["gguf"] = {}
types = gguf.GGMLQuantizationType
for kind in [types.F32, types.F16, types.BF16, types.Q8_0, types.Q4_0, types.Q4_1]:
    values = rng.standard_normal((3, 64)).astype(np.float32)
    stored = gguf.quants.quantize(values, kind)
    writer.add_tensor(kind.name, stored, raw_dtype=kind)
    back = gguf.quants.dequantize(stored, kind)
    expected["gguf"][kind.name] = {"shape": [3, 64], "values": [float(x) for x in back.flatten()]}
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
expected["made_with"] = {"torch": torch.__version__, "gguf": "0.17.1", "numpy": np.__version__, "command": "python make.py", "seed": 3}
(here / "expected.json").write_text(json.dumps(expected) + "\n")
