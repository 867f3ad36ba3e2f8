"""Workbooks in the format of Excel."""

import io
import zipfile

OFFICE = "http://schemas.openxmlformats.org"
TYPES = f"{OFFICE}/officeDocument/2006/relationships"
MAIN = f"{OFFICE}/spreadsheetml/2006/main"
HIDDEN = 'state="hidden" '


def cell(value) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    return "<c/>" if value is None else f"<c><v>{value}</v></c>"


def workbook(hidden: tuple[str, ...] = (), **sheets: list[list]) -> bytes:
    """The bytes of an .xlsx, with the rows of each sheet; None is an empty cell. hidden: names of sheets."""
    books = "".join(
        f'<sheet name="{name}" sheetId="{k}" {HIDDEN * (name in hidden)}r:id="r{k}"/>'
        for k, name in enumerate(sheets, 1)
    )
    links = "".join(
        f'<Relationship Id="r{k}" Type="{TYPES}/worksheet" Target="worksheets/sheet{k}.xml"/>'
        for k in range(1, len(sheets) + 1)
    )
    top = f'<Relationship Id="r" Type="{TYPES}/officeDocument" Target="xl/workbook.xml"/>'
    relations = f'<Relationships xmlns="{OFFICE}/package/2006/relationships">'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{OFFICE}/package/2006/content-types"/>',
        "_rels/.rels": f"{relations}{top}</Relationships>",
        "xl/_rels/workbook.xml.rels": f"{relations}{links}</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{TYPES}"><sheets>{books}</sheets></workbook>',
    }
    for k, rows in enumerate(sheets.values(), 1):
        data = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
        parts[f"xl/worksheets/sheet{k}.xml"] = f'<worksheet xmlns="{MAIN}"><sheetData>{data}</sheetData></worksheet>'
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()
