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
            labels={"page": "all studies"},
        ),
        f"{REPORT}/metrics.json",
        f"{REPORT}/summary.md",
        f"{REPORT}/cost.json",
        report(
            directory(f"{REPORT}/tables"),
            patterns=["{table}.csv"],
            category="Tables",
            caption="../report/tables.rst",
            labels={"table": "{table}"},
        ),
        report(
            directory(f"{REPORT}/figures"),
            patterns=["{figure}.svg"],
            category="Figures",
            caption="../report/figures.rst",
            labels={"figure": "{figure}"},
        ),
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
