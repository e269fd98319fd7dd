"""Deploy wrenlite on AWS, check and maintain the deployment, and remove it.

::

    settings ──▶ provider.desired ──┐
    (options, answers,              ├──▶ plan ──▶ shown, confirmed ──▶ provider.apply
     earlier deployment)            │   (pure)
    AWS ───────▶ provider.observe ──┘

====================  ==================================================================================
``wizard``            The command ``wrenlite-setup``: asks, shows the plan, applies it, tests the function
``commands``          The commands status, doctor, test, logs and cleanup
``destroying``        The command destroy
``shared_options``    Options that several commands share
``doctor``            The checks of ``wrenlite doctor``, each with its fix
``report``            What the commands print, as text and as JSON
``deployment``        A deployment as a whole: its settings, its plan, and applying the plan
``checks``            Checks of what the user names: roles, buckets, layers, subnets
``plan``              The steps from the existing resources to the desired ones (pure)
``setup_options``     Options of ``wrenlite-setup`` that it does not ask for
``setting_forms``     The forms of tags, ARNs and paths among the settings (pure)
``settings``          The settings of a deployment, and reading them back from its function
``resources``         Records of each kind of resource
``policies``          IAM policies, the bucket's policy and its lifecycle rules
``tags``              The tags that mark wrenlite's own resources (pure)
``managers``          Observes and changes resources, with one class per kind of resource
``provider``          Those of a deployment
``buckets``           The bucket
``bucket_archives``   The archives in the bucket: packages that do not fit into the layer
``roles``             The IAM roles of the function and its driver
``log_groups``        Their log groups
``lambda_resources``  The layer, the function and its driver
``dashboard``         The dashboard of a deployment in CloudWatch, its metrics, its alarms (pure)
``monitoring``        Those in the account
``aliases``           The published versions of both, and the alias that new executors use
``code_zip``          The zip of the function's code
``packages``          The zip of the layer: the packages that tasks import
``layer_files``       Which files of the packages it keeps
``architectures``     Which processors the function is for
``archives``          Which packages do not fit into the layer, and an archive of each
``bytecode``          Compiles what is in both zips (pure)
``published``         ``Executor.publish``
``publishing``        A published job as resources, and the steps to it
``publisher``         Checks of what a user wants to publish
``publishing_report`` What is shown of published jobs
``publishing_commands`` The commands publish, published, unpublish and start
``triggers``          Notifications, URLs and schedules, and who may invoke the function of a published job
``starting``          Starts a published job by signed requests
``smoke_test``        Invokes the deployed function, and imports the packages of its layer
``account``           The AWS account: signing in, regions, quotas
``clients``           botocore's clients, and AWS's errors as wrenlite's
====================  ==================================================================================
"""
