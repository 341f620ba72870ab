rule measure_scores:
    input:
        scores=f"{SCORE}/scores.npz",
        reference=scores_of_reference,
        original=scores_of_deep,
        shadow=scores_of_shadows,
        unlearned=scores_of_unlearned,
    output:
        f"{MEASURE}/metrics.json",
        f"{MEASURE}/metrics.parquet",
    log:
        beside("logs", "measure", ".log"),
    wildcard_constraints:
        run=r"(?!blind/)[a-z0-9][a-z0-9_-]*(\+[a-z0-9_-]+)?",
    localrule: True  # seconds of one core, less than a job on a cluster costs
    conda:
        "../envs/lethe.yaml"
    threads: 1
    params:
        cfg=cfg("measure"),
        sources=sources("measure"),
        file=file("measure"),
        shadow=folder_of_shadows,
        unlearned_by=folders_of_methods,
        out=filled(MEASURE),
    shell:
        "lethe measure --cfg {params.file} --seed {wildcards.seed} --scores {input.scores}"
        " --reference {input.reference} --original {input.original}"
        " --shadow {params.shadow} --unlearned-by {params.unlearned_by} --out {params.out} 2> {log}"


# The control of membership inference: an attack that sees the texts and no model. The original's scores say what of them
# models read.
rule measure_texts:
    input:
        f"{PREPARE}/examples.parquet",
        scores=scores_of_original,
    output:
        f"{MEASURE}/metrics.json",
        f"{MEASURE}/metrics.parquet",
    log:
        beside("logs", "measure", ".log"),
    wildcard_constraints:
        run="blind",
    localrule: True
    conda:
        "../envs/lethe.yaml"
    threads: 1
    params:
        cfg=cfg("measure"),
        sources=sources("measure"),
        file=file("measure"),
        prepared=filled(PREPARE),
        out=filled(MEASURE),
    shell:
        "lethe blind --cfg {params.file} --seed {wildcards.seed}"
        " --prepared {params.prepared} --scores {input.scores} --out {params.out} 2> {log}"
