from snakemake.utils import min_version

min_version("9.27")


# Made from the Dockerfile; used with `--sdm apptainer` only, as the rules' own environment with `--sdm conda` only.
container: "lethe.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/forget.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/unlearn.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/targets.smk"


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        [path for stage in PLAN for path in outputs(stage)],
    localrule: True


agreement = Agreement(
    workflow,
    FILE,
    PARAMS,
    PLAN,
    {stage: outputs_by_job(stage) for stage in PLAN},
    DIGESTS,
)
if is_main(workflow):
    agreement.begin()
    ask_the_queue_only()
else:
    record_in_job()
