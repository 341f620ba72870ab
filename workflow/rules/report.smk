rule write_report:
    input:
        reported("prepare", ".json", *[".parquet"] * PARAMS.report.show_text),
        reported("forget", ".json"),
        reported("train", ".csv", ".json"),
        reported("unlearn", ".csv", ".json"),
        reported("score"),
        reported("measure"),
        reported("compare"),
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
