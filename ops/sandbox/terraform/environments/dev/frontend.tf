resource "aws_ecs_task_definition" "frontend" {
  family                   = var.frontend.family
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = var.frontend.cpu
  memory                   = var.frontend.memory
  execution_role_arn       = var.frontend.execution_role
  task_role_arn            = var.frontend.task_role
  container_definitions    = jsonencode([merge(var.frontend.container, { image = var.frontend_container_image })])

  runtime_platform {
    cpu_architecture        = "X86_64"
    operating_system_family = "LINUX"
  }
}

resource "aws_ecs_service" "frontend" {
  name                               = var.frontend.service
  cluster                            = var.cluster
  task_definition                    = "${aws_ecs_task_definition.frontend.family}:${aws_ecs_task_definition.frontend.revision}"
  desired_count                      = var.frontend.desired_count
  launch_type                        = "FARGATE"
  enable_execute_command             = true
  health_check_grace_period_seconds  = var.frontend.grace
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  propagate_tags                     = "NONE"

  deployment_controller {
    type = "ECS"
  }

  deployment_circuit_breaker {
    enable   = false
    rollback = false
  }

  load_balancer {
    target_group_arn = var.frontend.target_group
    container_name   = var.frontend.container.name
    container_port   = var.frontend.port
  }

  network_configuration {
    subnets         = var.frontend.subnets
    security_groups = var.frontend.security_groups
  }
}

# Made by sandbox.up, then adopted: once it is in the state, Terraform passes over these.
import {
  to = aws_ecs_task_definition.frontend
  id = var.frontend.task_definition
}

import {
  to = aws_ecs_service.frontend
  id = "${basename(var.cluster)}/${var.frontend.service}"
}
