"""The service API's use cases over individual enrollments: create or update, get, delete, query, keys, bulk."""

from idscope.enrollments.bulk import run_bulk_operation
from idscope.enrollments.enrollments import Enrollments
from idscope.enrollments.query import Page

__all__ = ["Enrollments", "Page", "run_bulk_operation"]
