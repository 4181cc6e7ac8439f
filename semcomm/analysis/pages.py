"""HTML pages from templates; every text in them is escaped unless a template says otherwise."""

from typing import Any

from semcomm.caches import cached


def render(package: str, template: str, **values: Any) -> str:
    """Return a page.

    Args:
        package: in whose folder the template is.
        template: file name.
        values: its variables; one that is missing is an error.
    """
    return _environment(package).get_template(template).render(**values)


@cached(most=8)
def _environment(package: str) -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader(package, "")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
