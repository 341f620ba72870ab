"""The defaults of every method are the constants of its paper or, where that gives none, of its authors' code."""

import pytest

from lethe.system import plugins

CONSTANTS = {
    "gradient_difference": {"retain": 1.0},
    "kl_minimisation": {"kl": 1.0},
    "llmu": {"forget": 1.0, "mismatch": 1.0, "kl": 1.0},
    "npo": {"beta": 0.1, "retain": 1.0},
    "simnpo": {"beta": 4.5, "delta": 0.0, "forget": 0.125},
    "dpo": {"beta": 0.1},
    "rmu": {
        "steering": 20.0,
        "retain": 100.0,
        "depth": 8 / 32,
    },  # steering_coeffs, alpha, layer_id 7 counted from 0
    "undial": {"beta": 10.0},
    "wga": {"beta": 1.0, "retain": 1.0},
    "satimp": {"beta1": 5.0, "beta2": 1.0, "forget": 0.1, "retain": 1.0},
    "idk": {"retain": 1.0},
    "idk_dpo": {"beta": 0.1, "retain": 1.0},
    "alt_po": {"beta": 0.1, "retain": 1.0},
    "task_vector": {"alpha": 1.0},
    "icu": {"forget": 1.0, "learn": 0.5, "kl": 1.0},
    "icu_faithful": {"forget": 1.0, "learn": 0.5, "kl": 1.0, "forgotten": 0.01, "f1": 0.3, "beams": 2},
    "scrub": {"ascents": 2, "kl": 0.001, "retain": 0.99, "temperature": 4.0},  # msteps, alpha, gamma, kd_T
    "contrastive_unlearning": {"forget": 3.0, "retain": 1.0, "temperature": 0.7},  # CT_ratio, CE_ratio, temp
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_defaults_are_the_constants_of_the_source(name):
    hyper = vars(plugins.dataclass_in("objectives", name, "Hyper").validate_python({}))
    assert {key: hyper[key] for key in CONSTANTS[name]} == CONSTANTS[name]
