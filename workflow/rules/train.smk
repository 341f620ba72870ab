# A model is a folder, of which Snakemake keeps no checksum: others depend on its digest, model.sha256.
rule train_base:
    input:
        "data/prepared/{study}/examples.parquet",
        "data/prepared/{study}/prepared.json",
    output:
        directory("results/train/{study}/{run}/seed{seed}/model"),
        "results/train/{study}/{run}/seed{seed}/model.sha256",
        "results/train/{study}/{run}/seed{seed}/trace.csv",
        "results/train/{study}/{run}/seed{seed}/epochs.csv",
        "results/train/{study}/{run}/seed{seed}/cost.json",
        "results/train/{study}/{run}/seed{seed}/run.json",
    log:
        "logs/train/{study}/{run}/seed{seed}.log",
    benchmark:
        "benchmarks/jobs/train/{study}/{run}/seed{seed}.tsv"
    wildcard_constraints:
        run="base",
    conda:
        "../envs/lethe.yaml"
    threads: processes("train")
    resources:
        gpu=processes("train"),
    params:
        cfg=cfg("train"),
        sources=sources("train"),
    shell:
        "lethe train --cfg {params.cfg:q} --seed {wildcards.seed} --run {wildcards.run}"
        " --prepared data/prepared/{wildcards.study}"
        " --live dvclive/train/{wildcards.study}/{wildcards.run}/seed{wildcards.seed}"
        " --out results/train/{wildcards.study}/{wildcards.run}/seed{wildcards.seed} 2> {log}"


rule train_reference:
    input:
        "data/prepared/{study}/examples.parquet",
        "data/prepared/{study}/prepared.json",
        "data/forget/{study}/seed{seed}/sets.parquet",
        pin=model("model.sha256", run="base"),
        base=ancient(model("model", run="base")),
    output:
        directory("results/train/{study}/{run}/seed{seed}/model"),
        "results/train/{study}/{run}/seed{seed}/model.sha256",
        "results/train/{study}/{run}/seed{seed}/trace.csv",
        "results/train/{study}/{run}/seed{seed}/epochs.csv",
        "results/train/{study}/{run}/seed{seed}/cost.json",
        "results/train/{study}/{run}/seed{seed}/run.json",
    log:
        "logs/train/{study}/{run}/seed{seed}.log",
    benchmark:
        "benchmarks/jobs/train/{study}/{run}/seed{seed}.tsv"
    wildcard_constraints:
        run=r"original|retrain(-\d+)?|shadow",
    conda:
        "../envs/lethe.yaml"
    threads: processes("train")
    resources:
        gpu=processes("train"),
    params:
        cfg=cfg("train"),
        sources=sources("train"),
    shell:
        "lethe train --cfg {params.cfg:q} --seed {wildcards.seed} --run {wildcards.run}"
        " --prepared data/prepared/{wildcards.study}"
        " --forget data/forget/{wildcards.study}/seed{wildcards.seed} --base {input.base}"
        " --live dvclive/train/{wildcards.study}/{wildcards.run}/seed{wildcards.seed}"
        " --out results/train/{wildcards.study}/{wildcards.run}/seed{wildcards.seed} 2> {log}"
