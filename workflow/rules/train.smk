# A model is a folder, of which Snakemake keeps no checksum: others depend on its digest, model.sha256.
rule train_base:
    input:
        f"{PREPARE}/examples.parquet",
        f"{PREPARE}/prepared.json",
    output:
        directory(f"{TRAIN}/model"),
        f"{TRAIN}/model.sha256",
        f"{TRAIN}/trace.csv",
        f"{TRAIN}/epochs.csv",
        f"{TRAIN}/cost.json",
        f"{TRAIN}/run.json",
    log:
        beside("logs", "train", ".log"),
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
        file=file("train"),
        prepared=filled(PREPARE),
        live=filled(beside("dvclive", "train")),
        out=filled(TRAIN),
    shell:
        "lethe train --cfg {params.file} --seed {wildcards.seed} --run {wildcards.run}"
        " --prepared {params.prepared} --live {params.live} --out {params.out} 2> {log}"


rule train_reference:
    input:
        f"{PREPARE}/examples.parquet",
        f"{PREPARE}/prepared.json",
        f"{FORGET}/sets.parquet",
        pin=model("model.sha256", run="base"),
        base=ancient(model("model", run="base")),
    output:
        directory(f"{TRAIN}/model"),
        f"{TRAIN}/model.sha256",
        f"{TRAIN}/trace.csv",
        f"{TRAIN}/epochs.csv",
        f"{TRAIN}/cost.json",
        f"{TRAIN}/run.json",
    log:
        beside("logs", "train", ".log"),
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
        file=file("train"),
        prepared=filled(PREPARE),
        forget=filled(FORGET),
        live=filled(beside("dvclive", "train")),
        out=filled(TRAIN),
    shell:
        "lethe train --cfg {params.file} --seed {wildcards.seed} --run {wildcards.run}"
        " --prepared {params.prepared} --forget {params.forget} --base {input.base}"
        " --live {params.live} --out {params.out} 2> {log}"
