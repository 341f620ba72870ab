# One target for each stage (`snakemake unlearn`), as the stages of dvc.yaml ask for.
localrules:
    prepare,
    forget,
    train,
    unlearn,
    score,
    measure,
    compare,
    report,


rule prepare:
    input:
        outputs("prepare"),


rule forget:
    input:
        outputs("forget"),


rule train:
    input:
        outputs("train"),


rule unlearn:
    input:
        outputs("unlearn"),


rule score:
    input:
        outputs("score"),


rule measure:
    input:
        outputs("measure"),


rule compare:
    input:
        outputs("compare"),


rule report:
    input:
        outputs("report"),
