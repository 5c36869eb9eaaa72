"""The two files of an audit: figures as JSON, and one page that opens anywhere without a network."""

import json
from html import escape
from pathlib import Path

from pneumo_utils.data.audit import sections
from pneumo_utils.data.audit.finding import Finding, make_count
from pneumo_utils.data.audit.table import AuditTable
from pneumo_utils.page.document import build_document


def build_page(summary: dict, findings: list[Finding], table: AuditTable) -> str:
    """The page, with all its pictures inside it.

    Args:
        summary: From `summarise`.
        findings: From `make_findings`.
        table: What both were made from.

    Returns:
        HTML.
    """
    parts = {
        "What to know first": _build_findings(findings),
        "Films": sections.build_counts(summary),
        "Patients across splits": sections.build_patients(summary),
        "Films that are there twice": sections.build_repeats(summary, table),
        "Files by class": sections.build_classes(summary, table),
        "Shortcuts: what tells the label without the lungs": sections.build_shortcuts(summary, table),
        "Letters, metal and borders": sections.build_marks(summary, table),
        "Files to look at": sections.build_files(summary),
    }
    damaged = summary["num_films"] - summary["num_readable"]
    return build_document(
        f"Data audit: {Path(summary['folder']).name or summary['folder']}",
        subtitle=f"{make_count(summary['num_films'], 'film')}, {damaged:,} damaged.",
        sections=parts,
    )


def _build_findings(findings: list[Finding]) -> str:
    """The findings, each with its level in words and colour."""
    words = {"serious": "serious", "look": "look at this", "fine": "fine"}
    return "".join(
        f'<div class="finding {f.level}"><span class="tag">{words[f.level]}</span>'
        f"<p><strong>{escape(f.title)}</strong></p><p>{escape(f.text)}</p></div>"
        for f in findings
    )


def save_audit(
    table: AuditTable, summary: dict, *, findings: list[Finding], json_path: Path, html_path: Path
):
    """Writes both files; their folders are made on demand.

    Args:
        table: From `read_facts`.
        summary: From `summarise`.
        findings: From `make_findings`.
        json_path: For the figures and the findings.
        html_path: For the page.
    """
    page = build_page(summary, findings, table)
    for path, text in ((json_path, format_json(summary, findings)), (html_path, page)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def format_json(summary: dict, findings: list[Finding]) -> str:
    """Figures and findings as one JSON text; an undefined figure is null, never NaN."""
    return json.dumps(summary | {"findings": [vars(finding) for finding in findings]}, allow_nan=False)


def format_text(summary: dict, findings: list[Finding]) -> str:
    """What the command line prints: the counts, then the findings."""
    lines = [f"{make_count(summary['num_films'], 'film')} in {summary['folder']}"]
    for split, count in summary["counts"].items():
        classes = " + ".join(f"{number:,} {name}" for name, number in count["classes"].items())
        lines.append(f"{split}: {classes}")
    for finding in findings:
        lines += ["", f"[{finding.level}] {finding.title}"] + [finding.text] * bool(finding.text)
    return "\n".join(lines)
