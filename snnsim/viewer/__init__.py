"""A recording in the browser: what is read and summed up stands apart from the page, and only the page knows Bokeh."""
