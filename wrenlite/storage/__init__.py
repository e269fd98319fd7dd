"""Storage: the ``Store`` interface, stores in folders, and what jobs keep in a store.

``base``      the ``Store`` interface, digests and keys
``local``     stores in folders of this machine
``uploads``   functions, module zips and objects that the client puts into a store
``refs``      objects that are uploaded once and referred to by many tasks
``results``   values that a store holds because they do not fit into a reply
``archives``  packages that do not fit into a layer, and their index
``lru``       a cache that drops its least recently used entries
"""
