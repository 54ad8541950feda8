from azureml_local.cli import main

main()
