"""HTTP edge: validate, store, dispatch, report. Loads no torch."""
