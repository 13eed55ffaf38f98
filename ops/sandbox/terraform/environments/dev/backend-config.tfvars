bucket       = "dev-davidshaevel-terraform-state"
key          = "environments/dev/terraform.tfstate"
region       = "us-east-1"
use_lockfile = true
