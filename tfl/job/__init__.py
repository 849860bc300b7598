"""The main job, composed: the only package that knows the whole order.

    load · audit · split ─▶ assemble ─▶ pretrain ─▶ (plan ─▶ train) a stage ─▶ adapt ─▶ evaluate ─▶ confidence ─▶ export ─▶ report

Everything that can be wrong with the input is found before the run folder is made (`before`, `further`), and what takes no
network to find is found before TensorFlow is imported. Then the network learns (`learn`), is measured (`measure`) and kept
(`keep`); these steps share a `Job`.
"""

from tfl.job.before import audit_before_run, check_recipe, prepare_data
from tfl.job.run import run_recipe

__all__ = ["audit_before_run", "check_recipe", "prepare_data", "run_recipe"]
