"""Draw jobs from their snapshots and stats, while they run and after they have ended.

===================  ====================================================================
``panel``            The job panel in a notebook: a widget while the job runs, then HTML
``terminal``         The rows of jobs on a terminal, and lines in a file
``observer``         What a drawing needs to know of a job, gathered again and again
``html``             The panel as HTML (pure)
``panel_png``        The pictures in the panel: the grid of tasks, the concurrency (pure)
``timeline``         ``Job.plot()``: the tasks over time
``report``           ``Job.report()``: one HTML file with a timeline, tables and output
``spans``            The times of all tasks as arrays, for the timeline
``reprs``            Executors, jobs and futures as the last line of a cell
``notebook_figure``  matplotlib figures that a notebook shows as they are
``data_frame``       ``Job.to_pandas()``: stats as a DataFrame
``console``          What all commands print: errors, tables, JSON
===================  ====================================================================
"""
