# Images are full URIs (registry/repository:tag). A deploy passes both: its own new one, and the other service's as it runs.
variable "backend_container_image" {
  description = "Image of the backend."
  type        = string
}

variable "frontend_container_image" {
  description = "Image of the frontend; whoever applies without naming one replaces the site with nginx."
  type        = string
  default     = "nginx:latest"
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"
}

variable "cluster" {
  description = "ARN of the ECS cluster."
  type        = string
}

# What stands around the two services; sandbox.up writes it into platform.auto.tfvars.json.
variable "backend" {
  description = "Shape of the backend: its task definition's values, its place in the network, its container without the image."
  type        = any
}

variable "frontend" {
  description = "Shape of the frontend."
  type        = any
}
