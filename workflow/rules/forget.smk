rule draw_forget_set:
    input:
        f"{PREPARE}/examples.parquet",
        f"{PREPARE}/prepared.json",
    output:
        f"{FORGET}/sets.parquet",
        f"{FORGET}/pairs.parquet",
        f"{FORGET}/forget.json",
    log:
        beside("logs", "forget", ".log"),
    conda:
        "../envs/lethe.yaml"
    threads: 1
    params:
        cfg=cfg("forget"),
        sources=sources("forget"),
        file=file("forget"),
        prepared=filled(PREPARE),
        out=filled(FORGET),
    shell:
        "lethe forget --cfg {params.file} --seed {wildcards.seed}"
        " --prepared {params.prepared} --out {params.out} 2> {log}"
