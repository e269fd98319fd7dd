"""Putting wrenlite on AWS.

=============  ======================================================================
``resources``  what there is on AWS: plain descriptions, as wanted and as found
``policies``   who may do what
``function``   the zip of the function
``packaging``  the layer: the packages that tasks import
``plan``       from what is there to what is wanted (pure)
``provider``   takes the plan's steps, with one small class a kind of resource
=============  ======================================================================
"""
