rule unlearn_examples:
    input:
        f"{PREPARE}/examples.parquet",
        f"{PREPARE}/prepared.json",
        f"{FORGET}/sets.parquet",
        f"{FORGET}/pairs.parquet",
        pin=start("model.sha256"),
        original=ancient(start("model")),
        base_pin=model("model.sha256", run="base"),
        base=ancient(model("model", run="base")),
    output:
        directory(f"{UNLEARN}/model"),
        f"{UNLEARN}/model.sha256",
        f"{UNLEARN}/trace.csv",
        f"{UNLEARN}/epochs.csv",
        f"{UNLEARN}/cost.json",
        f"{UNLEARN}/run.json",
    log:
        beside("logs", "unlearn", ".log"),
    conda:
        "../envs/lethe.yaml"
    threads: processes("unlearn")
    resources:
        gpu=processes("unlearn"),
    params:
        cfg=cfg("unlearn"),
        sources=sources("unlearn"),
        file=file("unlearn"),
        prepared=filled(PREPARE),
        forget=filled(FORGET),
        models=models_of_method,
        live=filled(beside("dvclive", "unlearn")),
        out=filled(UNLEARN),
    shell:
        "lethe unlearn --cfg {params.file} --seed {wildcards.seed} --run {wildcards.run}"
        " --prepared {params.prepared} --forget {params.forget} {params.models}"
        " --live {params.live} --out {params.out} 2> {log}"
