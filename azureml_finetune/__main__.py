"""`python -m azureml_finetune` is the command `finetune`."""

from azureml_finetune import main

if __name__ == "__main__":
    main()
