"""Jobs that leave a trace, or outlive the program that started them.

==================  =======================================================================================
``journal``         Writes what happens to each job into a file of its own
``records``         Reads these files: the jobs of this user, their events, output and errors
``places``          Where the files are, which program is still running, and which files are deleted
``manifest``        What a detached job is run from
``place``           The seam of what keeps a detached job
``folder``          A detached job that is kept on this machine, and which of them are deleted
``bucket``          A detached job that is kept on Lambda
``lease``           Who holds a detached job, or a start, and until when
``recorded``        A job that writes down how its task table changes, and one that follows that
``keeper``          Runs one detached job
``driver``          The Lambda function that starts a keeper
``attach``          Has keepers started, and returns jobs that follow them
``tokens``          What gives a job on Lambda back on any machine; where a job is kept
``remote_journal``  The journal of a keeper on Lambda
``hand_over``       Hands a job that runs in this process over to a keeper
==================  =======================================================================================
"""
