"""Putting wrenlite on AWS, looking after it, and taking it away.

::

    settings ──▶ provider.desired ──┐
    (options, answers,              ├──▶ plan ──▶ shown, agreed to ──▶ provider.apply
     what was there before)         │   (pure)
    AWS ───────▶ provider.observe ──┘

===============================  ======================================================================
``wizard``                       ``wrenlite-setup``: asks, shows, deploys, tries it out
``commands``                     status, doctor, test, destroy, logs, cleanup; ``options`` that they share
``doctor``, ``hello``            checks, one by one; a real invocation
``show``                         what all of them print
``deployment``                   a deployment as a whole: settings, plan, steps
``account``                      who is signed in, and what AWS lets that account do
``resources``, ``policies``      what there is on AWS, as wanted and as found; who may do what
``plan``                         from what is there to what is wanted (pure)
``provider``                     takes the plan's steps, with one small class a kind of resource, in
                                 ``buckets``, ``identity`` and ``functions``
``function``, ``packaging``      the zip of the function; the layer of the packages that tasks import
``clients``                      AWS's clients; what they refuse in our words
===============================  ======================================================================
"""
