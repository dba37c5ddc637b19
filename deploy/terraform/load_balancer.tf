resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  internal           = var.scheme == "internal"
  subnets            = var.load_balancer_subnet_ids
  security_groups    = [aws_security_group.load_balancer.id]

  drop_invalid_header_fields = true
  # Less than KEEP_ALIVE_TIMEOUT (75 s).
  idle_timeout           = 60
  desync_mitigation_mode = "strictest"
}

resource "aws_lb_target_group" "sidecar" {
  name        = var.name
  target_type = "ip"
  vpc_id      = var.vpc_id
  # The load balancer does not look at the certificate, so the sidecar makes its own (TLS_SELF_SIGNED).
  protocol             = "HTTPS"
  protocol_version     = "HTTP1"
  port                 = 8443
  deregistration_delay = 30

  health_check {
    protocol            = "HTTP"
    port                = "9090"
    path                = "/readyz"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
    matcher             = "200"
  }
}

resource "aws_lb_listener" "redirect" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"
    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }
}

# Whatever no rule opens: sign in, then forward.
resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  dynamic "default_action" {
    for_each = local.uses_cognito ? ["cognito"] : []
    content {
      type  = "authenticate-cognito"
      order = 1
      authenticate_cognito {
        user_pool_arn              = aws_cognito_user_pool.this[0].arn
        user_pool_client_id        = aws_cognito_user_pool_client.this[0].id
        user_pool_domain           = aws_cognito_user_pool_domain.this[0].domain
        on_unauthenticated_request = "authenticate"
        scope                      = "openid"
        session_cookie_name        = "AWSELBAuthSessionCookie"
        session_timeout            = 604800
      }
    }
  }

  dynamic "default_action" {
    for_each = local.uses_cognito ? [] : ["oidc"]
    content {
      type  = "authenticate-oidc"
      order = 1
      authenticate_oidc {
        issuer                     = var.oidc_issuer
        authorization_endpoint     = var.oidc_authorization_endpoint
        token_endpoint             = var.oidc_token_endpoint
        user_info_endpoint         = var.oidc_user_info_endpoint
        client_id                  = var.oidc_client_id
        client_secret              = var.oidc_client_secret
        on_unauthenticated_request = "authenticate"
        scope                      = var.oidc_scope
        session_cookie_name        = "AWSELBAuthSessionCookie"
        session_timeout            = 604800
      }
    }
  }

  default_action {
    type             = "forward"
    order            = 2
    target_group_arn = aws_lb_target_group.sidecar.arn
  }

  lifecycle {
    precondition {
      condition     = local.uses_cognito || (var.oidc_issuer != "" && var.oidc_client_id != "")
      error_message = "The oidc_issuer and its companions are needed without Cognito."
    }
  }
}

# ConsoleMe's guide, five values a rule: its seven paths, then what they mean but an ALB pattern cannot say.
resource "aws_lb_listener_rule" "open_paths" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 10

  condition {
    path_pattern {
      values = [
        "/noauth/v1/challenge_poller/*",
        "/noauth/v1/challenge_generator/*",
        "/api/v1/get_roles*",
        "/api/v2/mtls/roles/*",
        "/api/v1/get_credentials*",
      ]
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.sidecar.arn
  }
}

resource "aws_lb_listener_rule" "more_open_paths" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 20

  condition {
    path_pattern {
      values = [
        "/api/v1/myheaders/?",
        "/api/v2/get_resource_url*",
        "/api/v1/myheaders",
        "/api/v1/myheaders/",
        "/healthcheck",
      ]
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.sidecar.arn
  }
}

resource "aws_lb_listener_rule" "weep_paths" {
  count        = var.open_weep_paths ? 1 : 0
  listener_arn = aws_lb_listener.https.arn
  priority     = 30

  condition {
    path_pattern {
      values = [
        "/api/v2/get_roles*",
        "/api/v1/policies/typeahead*",
        "/api/v2/audit/roles*",
      ]
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.sidecar.arn
  }
}
