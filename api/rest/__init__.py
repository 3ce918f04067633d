"""HTTP: routes without logic, problem JSON, the shield in front."""
