"""``Job.advice``: which setting would have been cheapest for a job, and which fastest. Pure.

``judging``     ``advise``: the advice for a job
``value``       ``Advice`` and ``Setting``, and how they are shown
``work``        What the batches of a job have used, and how long they would take with other processors
``on_lambda``   Memory sizes and batch sizes of a Lambda function
``on_machine``  Numbers of local workers
"""
