"""The query language of the service API: what may be asked, of which fields, and how an answer comes in pages."""

from idscope.enrollments.query.fields import COLLECTIONS, ENROLLMENT_GROUPS, ENROLLMENTS, REGISTRATIONS, Collection
from idscope.enrollments.query.grammar import parse_query
from idscope.enrollments.query.paging import Page, find_page, page_size

__all__ = [
    "COLLECTIONS",
    "ENROLLMENTS",
    "ENROLLMENT_GROUPS",
    "REGISTRATIONS",
    "Collection",
    "Page",
    "find_page",
    "page_size",
    "parse_query",
]
