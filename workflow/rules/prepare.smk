rule prepare_data:
    output:
        f"{PREPARE}/examples.parquet",
        f"{PREPARE}/prepared.json",
    log:
        beside("logs", "prepare", ".log"),
    conda:
        "../envs/lethe.yaml"
    threads: 1
    params:
        cfg=cfg("prepare"),
        sources=sources("prepare"),
        file=file("prepare"),
        out=filled(PREPARE),
    shell:
        "lethe prepare --cfg {params.file} --out {params.out} 2> {log}"
