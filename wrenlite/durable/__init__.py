"""Jobs that leave a trace, or outlive the program that started them.

===========  ==========================================================================================
``journal``  Writes what happens to each job into a file of its own
``records``  Reads these files: the jobs of this user, their events, output and errors
``places``   Where the files are, which program is still running, and which files are deleted
===========  ==========================================================================================
"""
