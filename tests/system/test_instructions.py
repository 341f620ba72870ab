"""Which instructions compute, by what a processor has and by what the environment says."""

import pytest

from lethe.system import instructions


@pytest.mark.parametrize(
    ("flags", "before", "expected"),
    [
        ("flags : fpu avx2 avx512f avx512dq", None, "avx2"),
        ("flags : fpu avx2", None, None),
        (None, None, None),
        ("flags : fpu avx2 avx512f", "default", "default"),
    ],
    ids=["wider", "as wide", "another system", "chosen"],
)
def test_torch_uses_no_wider_registers_than_avx2(tmp_path, monkeypatch, flags, before, expected):
    monkeypatch.setattr(instructions, "PROCESSORS", tmp_path / "cpuinfo")
    environment = {} if before is None else {"ATEN_CPU_CAPABILITY": before}
    monkeypatch.setattr(instructions.os, "environ", environment)
    if flags:
        (tmp_path / "cpuinfo").write_text(flags)
    instructions.add_in_one_order()
    assert environment.get("ATEN_CPU_CAPABILITY") == expected
    assert environment["MKL_CBWR"] == "AVX2,STRICT"
