resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = 90
  skip_destroy      = true
}

resource "aws_ecs_cluster" "this" {
  name = var.name
}

resource "aws_iam_role" "execution" {
  name_prefix        = "${var.name}-execution-"
  assume_role_policy = local.for_tasks
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

# ConsoleMe's; the sidecar asks AWS for nothing.
resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-task-"
  assume_role_policy = local.for_tasks
}

locals {
  for_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })

  # Those of ../ecs/task-definition.json, without what this module knows better.
  containers = jsondecode(file("${path.module}/containers.json"))

  settings = {
    ALB_ARNS               = aws_lb.this.arn
    IDP                    = var.identity_provider
    ALB_CLIENT_IDS         = local.uses_cognito ? one(aws_cognito_user_pool_client.this[*].id) : var.oidc_client_id
    OIDC_ISSUER            = local.uses_cognito ? "https://${one(aws_cognito_user_pool.this[*].endpoint)}" : var.oidc_issuer
    ACCESS_TOKEN_AUDIENCES = var.access_token_audiences
    ALLOWED_EMAIL_DOMAINS  = var.allowed_email_domains
    REQUIRE_EMAIL_VERIFIED = var.allowed_email_domains == "" ? "false" : "true"
    NOAUTH_PRESET          = var.open_weep_paths ? "consoleme-weep" : "consoleme"
    STRIP_COOKIES          = "consoleme_auth"
    ENFORCEMENT            = var.enforcement
    PORT                   = "8443"
    TLS_SELF_SIGNED        = "true"
  }

  logs = {
    logDriver = "awslogs"
    options = {
      awslogs-group  = aws_cloudwatch_log_group.this.name
      awslogs-region = data.aws_region.current.id
      mode           = "non-blocking"
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 2048
  memory                   = 4096
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    cpu_architecture        = "X86_64"
    operating_system_family = "LINUX"
  }

  container_definitions = jsonencode([
    merge(local.containers[0], {
      image       = var.sidecar_image
      environment = [for name, value in local.settings : { name = name, value = value }]
      logConfiguration = merge(local.logs, {
        options = merge(local.logs.options, { awslogs-stream-prefix = "sidecar" })
      })
    }),
    merge(local.containers[1], {
      image       = var.application_image
      environment = [{ name = "EC2_REGION", value = data.aws_region.current.id }]
      logConfiguration = merge(local.logs, {
        options = merge(local.logs.options, { awslogs-stream-prefix = "application" })
      })
    }),
  ])
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.this.id
  launch_type                        = "FARGATE"
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.desired_count
  health_check_grace_period_seconds  = 120
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    assign_public_ip = false
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.task.id]
  }

  load_balancer {
    container_name   = "alb-auth-sidecar"
    container_port   = 8443
    target_group_arn = aws_lb_target_group.sidecar.arn
  }

  depends_on = [
    aws_lb_listener.https,
    aws_lb_listener_rule.open_paths,
    aws_lb_listener_rule.more_open_paths,
  ]
}
