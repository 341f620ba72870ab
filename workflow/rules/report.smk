rule write_report:
    input:
        outputs("prepare", ".json"),
        outputs("forget", ".json"),
        outputs("train", ".csv", ".json"),
        outputs("unlearn", ".csv", ".json"),
        outputs("score"),
        outputs("measure"),
        outputs("compare"),
    output:
        report(
            "results/report/report.html",
            category="Report",
            caption="../report/report.rst",
        ),
        "results/report/metrics.json",
        "results/report/summary.md",
        "results/report/cost.json",
        directory("results/report/tables"),
        directory("results/report/figures"),
    log:
        "logs/report.log",
    benchmark:
        "benchmarks/jobs/report.tsv"
    localrule: True
    conda:
        "../envs/lethe.yaml"
    threads: 1
    params:
        cfg=cfg("report"),
        sources=sources("report"),
    shell:
        "lethe report --cfg {params.cfg:q} --out results/report --readme README.md 2> {log}"
