"""One module a controller; `hyperkube_controller_manager.catalog` names them."""
