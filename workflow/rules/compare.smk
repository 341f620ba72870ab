rule compare_runs:
    input:
        outputs_of_study("measure"),
        scores_of_single_seed,
    output:
        f"{COMPARE}/comparison.json",
    log:
        beside("logs", "compare", ".log"),
    localrule: True
    conda:
        "../envs/lethe.yaml"
    threads: 1
    params:
        cfg=cfg("compare"),
        sources=sources("compare"),
        file=file("compare"),
        measured=filled(of_study("measure")),
        scores=filled(of_study("score")),
        out=filled(COMPARE),
    shell:
        "lethe compare --cfg {params.file} --measured {params.measured} --scores {params.scores}"
        " --out {params.out} 2> {log}"
