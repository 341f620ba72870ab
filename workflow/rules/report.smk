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
            f"{REPORT}/report.html",
            category="Report",
            caption="../report/report.rst",
        ),
        f"{REPORT}/metrics.json",
        f"{REPORT}/summary.md",
        f"{REPORT}/cost.json",
        directory(f"{REPORT}/tables"),
        directory(f"{REPORT}/figures"),
    log:
        beside("logs", "report", ".log"),
    benchmark:
        beside("benchmarks/jobs", "report", ".tsv")
    localrule: True
    conda:
        "../envs/lethe.yaml"
    threads: 1
    params:
        cfg=cfg("report"),
        sources=sources("report"),
        file=file("report"),
        out=filled(REPORT),
    shell:
        "lethe report --cfg {params.file} --out {params.out} 2> {log}"
