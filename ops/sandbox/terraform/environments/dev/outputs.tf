output "backend_task_definition" {
  description = "The backend's newest revision."
  value       = aws_ecs_task_definition.backend.arn
}

output "frontend_task_definition" {
  description = "The frontend's newest revision."
  value       = aws_ecs_task_definition.frontend.arn
}
