# Where the state is kept stands in backend-config.tfvars: terraform init -backend-config=backend-config.tfvars
terraform {
  required_version = ">= 1.10" # the state's lock is S3's own lock file

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60, < 7.0"
    }
  }

  backend "s3" {}
}

provider "aws" {
  region = var.region
}
