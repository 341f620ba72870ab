rule compare_runs:
    input:
        outputs_of_study("measure"),
        scores_of_single_seed,
    output:
        "results/compare/{study}/comparison.json",
    log:
        "logs/compare/{study}.log",
    benchmark:
        "benchmarks/jobs/compare/{study}.tsv"
    localrule: True
    conda:
        "../envs/lethe.yaml"
    threads: 1
    params:
        cfg=cfg("compare"),
        sources=sources("compare"),
    shell:
        "lethe compare --cfg {params.cfg:q} --measured results/measure/{wildcards.study}"
        " --scores results/score/{wildcards.study} --out results/compare/{wildcards.study} 2> {log}"
