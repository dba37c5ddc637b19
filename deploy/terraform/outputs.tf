output "load_balancer_arn" {
  description = "The signer of its tokens, for ALB_ARNS."
  value       = aws_lb.this.arn
}

output "load_balancer_dns_name" {
  description = "What host_name must be an alias of."
  value       = aws_lb.this.dns_name
}
