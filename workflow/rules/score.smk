rule score_model:
    input:
        f"{PREPARE}/examples.parquet",
        f"{PREPARE}/prepared.json",
        f"{FORGET}/sets.parquet",
        pin=model("model.sha256"),
        model=ancient(model("model")),
    output:
        f"{SCORE}/scores.npz",
    log:
        beside("logs", "score", ".log"),
    conda:
        "../envs/lethe.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        cfg=cfg("score"),
        sources=sources("score"),
        file=file("score"),
        prepared=filled(PREPARE),
        forget=filled(FORGET),
        model=scored_model,
    shell:
        "lethe score --cfg {params.file} --prepared {params.prepared}"
        " --forget {params.forget} --model {params.model:q} --out {output} 2> {log}"
