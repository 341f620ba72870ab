rule unlearn_examples:
    input:
        "data/prepared/{study}/examples.parquet",
        "data/prepared/{study}/prepared.json",
        "data/forget/{study}/seed{seed}/sets.parquet",
        "data/forget/{study}/seed{seed}/pairs.parquet",
        pin=start("model.sha256"),
        original=ancient(start("model")),
        base_pin=model("model.sha256", run="base"),
        base=ancient(model("model", run="base")),
    output:
        directory("results/unlearn/{study}/{run}/seed{seed}/model"),
        "results/unlearn/{study}/{run}/seed{seed}/model.sha256",
        "results/unlearn/{study}/{run}/seed{seed}/trace.csv",
        "results/unlearn/{study}/{run}/seed{seed}/epochs.csv",
        "results/unlearn/{study}/{run}/seed{seed}/cost.json",
        "results/unlearn/{study}/{run}/seed{seed}/run.json",
    log:
        "logs/unlearn/{study}/{run}/seed{seed}.log",
    benchmark:
        "benchmarks/jobs/unlearn/{study}/{run}/seed{seed}.tsv"
    conda:
        "../envs/lethe.yaml"
    threads: processes("unlearn")
    resources:
        gpu=processes("unlearn"),
    params:
        cfg=cfg("unlearn"),
        sources=sources("unlearn"),
    shell:
        "lethe unlearn --cfg {params.cfg:q} --seed {wildcards.seed} --run {wildcards.run}"
        " --prepared data/prepared/{wildcards.study}"
        " --forget data/forget/{wildcards.study}/seed{wildcards.seed} --model {input.original}"
        " --base {input.base}"
        " --live dvclive/unlearn/{wildcards.study}/{wildcards.run}/seed{wildcards.seed}"
        " --out results/unlearn/{wildcards.study}/{wildcards.run}/seed{wildcards.seed} 2> {log}"
